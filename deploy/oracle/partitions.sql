-- Optional, per site, before the first load: the student table of a ministry in one partition per province.
-- Needs the Partitioning option. Not run against a real Oracle by us. Run as the hub's user in SQL*Plus, hub stopped.
-- The table must be empty: it is made anew from itself. Repeat for g_xs_xj, g_xs_sx, g_xs_jtcy with their names.
CREATE TABLE p_xs
PARTITION BY LIST (node) (
  PARTITION p11 VALUES ('11'),
  PARTITION p13 VALUES ('13'),
  PARTITION p_rest VALUES (DEFAULT)
)
AS SELECT * FROM g_xs WHERE 1 = 0;
DROP TABLE g_xs;
ALTER TABLE p_xs RENAME TO g_xs;
ALTER TABLE g_xs ADD CONSTRAINT pk_g_xs PRIMARY KEY (node, pk) USING INDEX LOCAL;
