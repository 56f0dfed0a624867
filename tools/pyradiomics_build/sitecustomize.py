"""Lets pyradiomics 3.0.1 build on Python 3.12 and newer; on the path only while it is being installed.

Its setup.py reads its version with ``configparser.SafeConfigParser`` and ``readfp``, which Python 3.12 removed; both
were only other names of what stands on the right.
"""

import configparser

if not hasattr(configparser, "SafeConfigParser"):
    configparser.SafeConfigParser = configparser.ConfigParser
    configparser.RawConfigParser.readfp = configparser.RawConfigParser.read_file
