from hypothesis import HealthCheck, settings

# A busy machine is no reason for a property to fail.
settings.register_profile("azure", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("azure")
