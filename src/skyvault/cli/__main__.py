"""``python -m skyvault.cli`` is the command ``skyvault``."""

from skyvault.cli.main import main

if __name__ == "__main__":
    main()
