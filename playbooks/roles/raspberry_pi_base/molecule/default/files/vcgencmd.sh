#!/bin/sh
# A board whose voltage is too low and that was throttled before.
[ "$*" = get_throttled ] && echo throttled=0x50005
