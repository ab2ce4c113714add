from .alerts import Alert as Alert
from .events import Event as Event
from .watch import Watch as Watch, WatchOptions as WatchOptions, WindowSlice as WindowSlice, build_watch as build_watch
