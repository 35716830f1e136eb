/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_HOSTS_FILE_H
#define KEPMD_EPMD_HOSTS_FILE_H

/* Keeps a file with the hosts of the discovered nodes, for who asks it for hosts:
 * net_adm:world/0, libcluster's ErlangHosts.
 * Format: OTP, net_adm(3), "Files", .hosts.erlang: a host a line, as an atom and a
 * full stop. */

#include <event2/event.h>

#include "registry.h"

struct hosts_file;

/* Writes the file PATH (copied) at once, empty when no node is discovered yet, unless
 * there is one, which then stays until nodes are; and from then on whenever its hosts change: as another file that takes its place, so
 * that nobody reads half of one.  Where PATH is a link, its target is written.  Trouble
 * is logged when it comes, changes and goes, and the file tried again after 30
 * seconds and at each change.  REGISTRY must outlive the hosts_file.  NULL when memory
 * is out. */
struct hosts_file *hosts_file_new(struct event_base *base, struct registry *registry,
                                  const char *path);

/* To be called after each change of the discovered nodes: 100 ms after the first such
 * call the registry is read. */
void hosts_file_touch(struct hosts_file *hosts_file);

/* The file stays. */
void hosts_file_free(struct hosts_file *hosts_file);

#endif
