/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEPMD_EPMD_SETTINGS_H
#define KEPMD_EPMD_SETTINGS_H

/* What settings may be, for those who read them and those who heed them. */

/* ERL_EPMD_NAMES: whom NAMES shows discovered nodes. */
enum names_shown { NAMES_SHOWN_LOCAL, NAMES_SHOWN_NONE, NAMES_SHOWN_ALL };

/* ERL_EPMD_JOIN: whether local nodes are made to connect to discovered ones. */
enum join_mode {
	JOIN_OFF,
	JOIN_ON,
	JOIN_INITIAL /* until each pair was joined once; healing is the application's */
};

#endif
