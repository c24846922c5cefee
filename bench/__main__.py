"""`python -m bench NAME [--json] [--quick]`."""

import argparse
from importlib import import_module

from bench.report import Bench, as_json, as_table

#: Name of each benchmark: a module of this package with `run(quick: bool) -> list[Result]`.
BENCHES = ("feeds", "send")


def main() -> None:
    """Run one benchmark and print what it found."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=BENCHES)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--quick", action="store_true", help="smaller sizes, for CI; no figures to quote"
    )
    arguments = parser.parse_args()
    run: Bench = import_module(f"bench.{arguments.name}").run
    write = as_json if arguments.json else as_table
    print(write(arguments.name, run(arguments.quick)))


if __name__ == "__main__":
    main()
