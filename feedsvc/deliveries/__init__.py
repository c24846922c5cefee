"""Deliveries: claimed in batches, marked one by one before the final dot, settled by the reply.

A kill of any process leaves at most the messages on the wire in doubt, and every other node can
see which.
"""
