"""OpenAI Agents: tools, agents and guardrails, governed."""
