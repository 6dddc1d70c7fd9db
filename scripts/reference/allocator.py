"""What a PyTorch program on a CPU needs to be measured at its best."""
import ctypes


def keep_memory():
    """Lets glibc reuse large blocks instead of unmapping them: each page is faulted in once, not at
    every operation. Other C libraries go without."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX
        mallopt(-1, 2 ** 31 - 1)  # M_TRIM_THRESHOLD
    except (AttributeError, OSError):
        pass
