"""The ledger: which tables are published, which jobs there are; the one place where state may change."""
