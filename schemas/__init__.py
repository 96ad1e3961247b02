"""What is a record? Data only: entities, codes, source layouts, templates, authority registry, rules, wire formats.

Nothing is computed here; `hub.catalog` reads these files into values, and everything else is derived from those.
"""

from pathlib import Path

ROOT = Path(__file__).parent
