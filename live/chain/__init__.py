"""The whole chain, once: the scripts' own alerts over bars, traded by the service, held against the
backtest of the same bars.

What is tested here is other programs as a user has them: this room talks to them over files and
HTTP and imports none of their rules.
"""
