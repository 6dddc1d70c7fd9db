/* Presets are files in a folder cfgs, which a config may be named by: "photo". */
#ifndef IMGTRAIN_CMD_PRESET_H
#define IMGTRAIN_CMD_PRESET_H

/* *found (malloc): `path` where there is such a file; else the preset that "photo", "photo.yaml" or
 * "cfgs/photo.yaml" names, in cfgs beside the program, in the source tree that it was built in, or
 * in share/imgtrain/cfgs of where it is installed. ERR_INPUT: neither. */
int preset_find(const char *path, char **found);

#endif
