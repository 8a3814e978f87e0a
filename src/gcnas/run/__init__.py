"""The run: driver, budget, ledger, middlewares, resume."""
