"""Properties are not judged by the speed of the machine: a loaded one draws its examples slowly."""

from hypothesis import HealthCheck, settings

settings.register_profile("house", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("house")
