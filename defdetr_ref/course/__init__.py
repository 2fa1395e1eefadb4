"""What only the notebooks use: `figures/` draws and prints, `exercises/` asks and checks."""
