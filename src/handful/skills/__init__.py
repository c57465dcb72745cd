"""What one does with a skill: fit, predict, evaluate, explain, examine, edit, verify."""
