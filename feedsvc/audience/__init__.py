"""The audience: who asked for which newsletter, who confirmed it, who left.

A request by anybody changes nothing that its owner could notice, except that one confirmation is
mailed; only the owner's own confirmation makes a subscription active.
"""
