"""The field's protocols over data sets and features: what `handful bench` runs."""
