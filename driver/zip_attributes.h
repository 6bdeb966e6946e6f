// What every member of a zip file of ours has, so that the same input gives the same bytes.
#ifndef FST_DRIVER_ZIP_ATTRIBUTES_H
#define FST_DRIVER_ZIP_ATTRIBUTES_H

#define FST_ZIP_DATE ((20 << 9) | (1 << 5) | 1)     // 2000-01-01, as Neuropod's packagers
#define FST_ZIP_FILE_ATTRIBUTES (0100644u << 16)    // Unix, regular file, rw-r--r--: what unpackers make of it

#endif
