"""Relays: what mail is handed to. Bytes and an envelope in, a SendResult out."""
