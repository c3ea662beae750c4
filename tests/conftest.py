import os

from hypothesis import HealthCheck, settings

# An ordinary user's path lacks where Debian keeps ip, nft and chroot.
os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

# A busy machine is no reason for a property to fail.
settings.register_profile("azure", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("azure")
