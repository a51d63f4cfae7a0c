"""AgentDojo's recorded tasks and attacks, replayed through a real Runtime."""
