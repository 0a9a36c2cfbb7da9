"""Source model -> .edge."""
