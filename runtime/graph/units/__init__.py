"""What a bound graph is made of: a unit is one kernel's work, or an operator in NumPy."""
