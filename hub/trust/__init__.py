"""Trust: keys, certificate chains, revocation, the trust list and its updates."""
