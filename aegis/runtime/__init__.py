"""What a Runtime works with: the audit trail, approval handlers, reloading."""
