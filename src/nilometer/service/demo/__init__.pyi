from .replay import ReplayServer as ReplayServer
from .traffic import Traffic as Traffic, run_demo as run_demo
