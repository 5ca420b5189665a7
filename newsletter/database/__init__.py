"""The ground for rows: how tables are declared, how the database is opened, and the audit."""
