/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "epmd/join/sock_diag.h"

#ifdef HAVE_LINUX_INET_DIAG_H

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct question {
	struct nlmsghdr head;
	struct inet_diag_req_v2 body;
};

struct answer {
	struct nlmsghdr head;
	struct inet_diag_msg body;
	uint8_t attributes[512];
};

/* The last four bytes of a mapped address are the IPv4 one. */
static void put_host(__be32 to[4], const struct in6_addr *host, int family)
{
	size_t skipped = family == AF_INET ? 12 : 0;

	memset(to, 0, 16);
	memcpy(to, host->s6_addr + skipped, 16 - skipped);
}

/* The answer to a question about one socket is there when send(2) returns. */
static bool ask(int fd, const struct question *question, uid_t *uid, unsigned long *inode)
{
	struct answer answer;

	if (send(fd, question, sizeof(*question), 0) != (ssize_t)sizeof(*question))
		return false;
	ssize_t n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);
	if (n < (ssize_t)(sizeof(answer.head) + sizeof(answer.body)) ||
	    answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return false;
	*uid = answer.body.idiag_uid;
	*inode = answer.body.idiag_inode;
	return true;
}

bool sock_diag_find(const struct in6_addr *local, uint16_t local_port,
                    const struct in6_addr *remote, uint16_t remote_port, uid_t *uid,
                    unsigned long *inode)
{
	/* A socket of IPv6 may speak IPv4, and is then found under the mapped ends. */
	static const uint8_t families[] = {AF_INET, AF_INET6};
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	bool found = false;

	for (size_t i = 0; fd >= 0 && i < sizeof(families) && !found; i++) {
		if (families[i] == AF_INET && !IN6_IS_ADDR_V4MAPPED(local))
			continue;
		struct question question = {
		    .head = {.nlmsg_len = sizeof(question),
		             .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		             .nlmsg_flags = NLM_F_REQUEST},
		    .body = {.sdiag_family = families[i],
		             .sdiag_protocol = IPPROTO_TCP,
		             .idiag_states = UINT32_MAX,
		             .id = {.idiag_sport = htons(local_port),
		                    .idiag_dport = htons(remote_port),
		                    .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}}};
		put_host(question.body.id.idiag_src, local, families[i]);
		put_host(question.body.id.idiag_dst, remote, families[i]);
		found = ask(fd, &question, uid, inode);
	}
	if (fd >= 0)
		close(fd);
	return found;
}

#else

bool sock_diag_find(const struct in6_addr *local, uint16_t local_port,
                    const struct in6_addr *remote, uint16_t remote_port, uid_t *uid,
                    unsigned long *inode)
{
	(void)local;
	(void)local_port;
	(void)remote;
	(void)remote_port;
	(void)uid;
	(void)inode;
	return false;
}

#endif
