"""The truth: everything that must survive is in PostgreSQL, and is read and written here only."""

from core.db_state_manager.manager import DatabaseStateManager

__all__ = ["DatabaseStateManager"]
