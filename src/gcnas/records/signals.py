"""Names of what is known of a network before its training."""

FACTS = ("params", "macs", "depth")
"""What a network's specification tells."""

PROXIES = ("naswot", "synflow")
"""What is measured on the untrained network."""

USUAL_FACTS = ("params", "macs")
"""What the strategy ``gcnas`` sees by default; the depth shows in the decisions too."""
