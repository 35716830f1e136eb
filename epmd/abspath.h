/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_ABSPATH_H
#define KEPMD_EPMD_ABSPATH_H

/* Paths that go on meaning the same after the daemon has made / its folder. */

/* PATH as seen from the current folder, as a string to free(3); NULL when memory is out or
 * the folder has gone.  Symbolic links stay: what they point to may be swapped. */
char *abspath(const char *path);

/* The same for each path in the colon-separated list that the environment variable NAME is.
 * Where it cannot be, the variable stays as it was. */
void abspath_variable(const char *name);

#endif
