"""An SMTP server that cannot be talked to: slow, silent, gone, or not who it should be."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from battery import Figures, Server, Sink, WorldMaker, count, hurried, wait_until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

pytestmark = pytest.mark.fault
READERS = 150
CONNECTIONS = 4
#: The sender's clocks run so much faster: minutes of waiting are seconds.
HURRY = 60
PATIENT = "heartbeat_timeout_seconds = 300"


def test_a_server_that_drips_its_replies_holds_nobody_for_ever(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    with Sink(tmp_path) as sink:
        for step in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA"):
            sink.on(step, "drip", times=1)
        world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        with Server(world.folder, environment=hurried(HURRY)) as server:
            server.start()
            waited_s = wait_until(world.has_ended, what="the edition")
            assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures(
        "R12",
        injected="an octet at a time in banner, EHLO, MAIL, RCPT and 354",
        minutes_until_all_were_sent=round(waited_s * HURRY / 60, 1),
        **tally.figures(),
    )
    tally.check()
    assert tally.states == {"sent": READERS}


def test_a_server_slow_after_the_dot_gets_no_second_copy(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    slow_s = 90
    with Sink(tmp_path) as sink:
        sink.on("DOT", "usual", delay_seconds=slow_s / HURRY, times=8)
        world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        with Server(world.folder, environment=hurried(HURRY)) as server:
            server.start()
            wait_until(world.has_ended, what="the edition")
            assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures("R07", injected=f"8 replies to the dot {slow_s} s late", **tally.figures())
    tally.check()
    assert tally.states == {"sent": READERS}


def test_a_server_that_does_not_talk_is_asked_seldom_and_loses_nothing(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    each_s = 2.5
    with Sink(tmp_path) as sink, Server(world.folder, environment=hurried(HURRY)) as server:
        world.configure(sink.port, connections=CONNECTIONS, sending=PATIENT)
        sink.on("CONNECT", "drop")
        server.start()
        wait_until(lambda: sink.report()["connections"] > 0, what="a connection")
        begin = time.monotonic()
        for number, action in enumerate(("drop", "reset", "hang"), 1):
            sink.forget_rules()
            sink.on("CONNECT", action)
            end = begin + number * each_s
            wait_until(lambda end=end: time.monotonic() >= end)
        minutes = (time.monotonic() - begin) * HURRY / 60
        connections = sink.report()["connections"]
        assert world.states().keys() <= {"pending", "claimed"}
        sink.forget_rules()
        wait_until(world.has_ended, what="the edition")
        assert server.stop() == 0, server.log()
        tally = count(world, sink)
    figures(
        "R13",
        injected="accept then close, RST, and no greeting",
        minutes=round(minutes, 1),
        connections=connections,
        **tally.figures(),
    )
    tally.check()
    assert tally.states == {"sent": READERS}
    assert 1 < connections < 6 * minutes


def test_mail_and_password_go_to_nobody_but_the_right_server_over_tls(
    make: WorldMaker, figures: Figures, tmp_path: Path
) -> None:
    world = make("sqlite", READERS)
    authority = _Authority(tmp_path)
    good = authority.issue("good", "localhost")
    wrong = {
        "expired": authority.issue("expired", "localhost", days=-1),
        "wrong name": authority.issue("other", "mail.example.net"),
        "self-signed": _Authority(tmp_path, "stranger").issue("strange", "localhost"),
        "stripped": None,
    }
    relay = 'host = "localhost"\ntls = "required"\nusername = "news"\npassword = "right"'
    clear: dict[str, dict[str, int]] = {}
    environment = hurried(HURRY) | {"SSL_CERT_FILE": str(authority.path)}
    port = 0
    with Server(world.folder, environment=environment) as server:
        for name, certificate in wrong.items():
            with Sink(tmp_path, port=port, certificate=certificate, login="news:right") as sink:
                if not port:
                    port = sink.port
                    world.configure(port, connections=CONNECTIONS, relay=relay, sending=PATIENT)
                    server.start()
                wait_until(lambda sink=sink: sink.report()["verbs"].get("EHLO", 0) >= 2, what=name)
                report = sink.report()
                clear[name] = report["clear_verbs"]
                assert report["verbs"].keys() <= {"EHLO", "STARTTLS", "QUIT"}, (name, report)
                assert sink.count() == 0
            assert world.states().keys() <= {"pending", "claimed"}
        with Sink(tmp_path, port=port, certificate=good, login="news:right") as sink:
            sink.on("STARTTLS", "220 go ahead\r\n250 injected", times=1)
            wait_until(world.has_ended, what="the edition")
            report = sink.report()
            tally = count(world, sink)
        assert server.stop() == 0, server.log()
    figures(
        "R14",
        injected="certificate expired, of another name, self-signed; STARTTLS stripped; a reply"
        " injected before the handshake",
        said_in_clear=sum(
            number
            for verbs in (*clear.values(), report["clear_verbs"])
            for verb, number in verbs.items()
            if verb not in ("EHLO", "STARTTLS", "QUIT")
        ),
        **tally.figures(),
    )
    tally.check()
    assert report["clear_verbs"].keys() <= {"EHLO", "STARTTLS", "QUIT"}
    assert tally.states == {"sent": READERS}


class _Authority:
    """Issues certificates for the time of a test; `path` is what to trust."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._sign(self._name, self._key, 30, is_authority=True)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, host: str, days: int = 30) -> Path:
        """Certificate and key for a host, valid until `days` from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        certificate = self._sign(subject, key, days, host=host)
        path = self._folder / f"{name}.pem"
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return path

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        days: int,
        *,
        host: str = "",
        is_authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if host:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())
