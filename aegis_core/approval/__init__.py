"""Ways to put an approval request to a person. Only an explicit yes to the very request is a yes."""
