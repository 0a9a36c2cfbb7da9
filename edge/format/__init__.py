"""The .edge file: one page of rules, a strict reader, a writer."""
