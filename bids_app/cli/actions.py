"""Options that print something and leave, before the positional arguments are asked for."""

import argparse


class ShowPreset(argparse.Action):
    """Print a preset and leave, before the positional arguments are asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *values: object) -> None:
        """Print it."""
        from bids_app.model.settings import preset_names, preset_text

        name = values[1]
        print(
            "\n".join(preset_names()) if name == "list" else preset_text(str(name)), end="\n" if name == "list" else ""
        )
        parser.exit(0)


class Explain(argparse.Action):
    """Explain a part of the settings and leave, before the positional arguments are asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *values: object) -> None:
        """Print it."""
        from bids_app.cli.explain import explain

        print(explain(str(values[1])))
        parser.exit(0)
