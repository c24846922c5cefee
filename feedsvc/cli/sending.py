"""`feedsvc sending`: relays, what is limited or rests, and what waits."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from feedsvc.cli.options import ConfigOption, JsonOption, run_with_app
from feedsvc.cli.output import print_json, print_table, say, say_time

if TYPE_CHECKING:
    from feedsvc.app import App
    from feedsvc.config_relays import RelaySettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sending")(sending)


def sending(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show the relays, limits that mail went under lately, what rests and why, and what waits.

    Connections and counts of a running `feedsvc serve` are at its /metrics.

    Example: `feedsvc sending`
    """

    async def work(app: "App") -> dict[str, Any]:
        from feedsvc.deliveries.throttles import Throttles
        from feedsvc.deliveries.totals import load_queue

        relays, now = app.settings.every_relay, app.clock()
        throttles = Throttles(relays, app.settings.sending)
        async with app.database.read() as session:
            states = await throttles.load_states(session, now)
            queue = await load_queue(session, now)
        return {
            "relays": [_facts(name, relay) for name, relay in relays.items()],
            "limits": [asdict(one) for one in states],
            "waiting": {
                "editions": queue.editions,
                "digests": queue.digests_waiting,
                "notices": queue.notices_waiting,
                "in_doubt": queue.in_doubt,
                "oldest_due_at": queue.oldest_due_at,
            },
        }

    found = run_with_app(config, work)
    if as_json:
        print_json(found)
        return
    _say_relays(found["relays"])
    _say_limits(found["limits"])
    _say_waiting(found["waiting"])


def _facts(name: str, relay: "RelaySettings") -> dict[str, Any]:
    to = f"{relay.host}:{relay.port}" if relay.type == "smtp" else str(relay.path)
    return {
        "name": name,
        "type": relay.type,
        "to": to,
        "rank": relay.rank,
        "weight": relay.weight,
        "limits": relay.limits,
    }


def _say_relays(relays: list[dict[str, Any]]) -> None:
    rows = [
        (
            one["name"],
            one["type"],
            one["to"],
            str(one["rank"]),
            str(one["weight"]),
            ", ".join(one["limits"]) or "none",
        )
        for one in relays
    ]
    headings = ("relay", "type", "to", "rank", "weight", "limits")
    print_table(headings, rows, numbers=("rank", "weight"))


def _say_limits(limits: list[dict[str, Any]]) -> None:
    for one in limits:
        said = [f"{one['kind']} {one['name']}:"]
        if one["rests_until"]:
            said.append(f"rests until {say_time(one['rests_until'])}")
        if one["limit"]:
            said.append(f"at most {one['limit']}, {one['tokens']:.0f} may go now")
        if one["learnt_per_second"]:
            said.append(f"takes {one['learnt_per_second']:.2g} a second, its replies say")
        say(
            " ".join([said[0], "; ".join(said[1:])])
            + (f" ({one['reason']})" if one["reason"] else "")
        )
    if not any(one["rests_until"] or one["learnt_per_second"] for one in limits):
        say("Nothing rests.")


def _say_waiting(waiting: dict[str, Any]) -> None:
    parts = [
        f"{count} mails of {_editions(waiting['editions'][state])} {state}"
        for state, count in waiting["digests"].items()
    ]
    if waiting["notices"]:
        parts.append(f"{waiting['notices']} notices")
    say(f"Waiting: {', '.join(parts)}." if parts else "No mail waits.")
    if waiting["oldest_due_at"]:
        say(f"The longest has been due since {say_time(waiting['oldest_due_at'])}.")
    if waiting["in_doubt"]:
        doubts = ", ".join(f"{count} {state}" for state, count in waiting["in_doubt"].items())
        say(f"In doubt: {doubts}. See feedsvc deliveries uncertain list")


def _editions(count: int) -> str:
    return "1 edition" if count == 1 else f"{count} editions"
