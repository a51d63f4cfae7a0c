"""What all tests share: no deadlines on noisy machines, and `--hypothesis-profile=thorough` for many more examples."""

from hypothesis import settings

settings.register_profile("usual", deadline=None)
settings.register_profile("thorough", settings.get_profile("usual"), max_examples=5000)
settings.load_profile("usual")
