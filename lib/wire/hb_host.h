/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_host: what makes the server a host on its link: ARP, IPv6 neighbour discovery, and ping for
 * IPv4 and IPv6. A switch that cannot resolve an address sends it no request.
 *
 * A worker asks hb_host_wants() about a frame that hb_frame_parse() refused, and passes it to the
 * control core, which calls hb_host_answer() and sends what comes out. The control core also sends
 * the announcements. How often is up to it: nothing here limits a rate.
 *
 * Everything works on what the caller passes in; no state, no allocation, any thread. `mac` is
 * always the address of the port that the frame came from or goes to.
 */
#ifndef HB_HOST_H
#define HB_HOST_H

#include "hb_wire.h"

/* ---- answers ------------------------------------------------------------------------ */

/* Whether a frame of `len` bytes, with up to two VLAN tags, asks who has our address or is a ping
 * to it. Cheap: no checksum is looked at. True for every frame that hb_host_answer() answers, and
 * never for one that hb_frame_parse() takes. Worth a call after HB_DROP_NOT_IP, HB_DROP_NOT_UDP
 * and HB_DROP_NOT_OURS only. */
bool hb_host_wants(const struct hb_listen *l, const uint8_t *frame, uint32_t len);

/* Turns a frame into its answer, in place: VLAN tags kept, IP options and extension headers taken
 * out, padded to Ethernet's least length where `room`, the bytes at `frame` (at least `len`), has
 * place for it. Returns the answer's length, or 0 when the frame deserves none; it is then as it
 * was. The IP packet of a ping's answer is never longer than the ping's. */
uint32_t hb_host_answer(const struct hb_listen *l, const uint8_t mac[6], uint8_t *frame,
	uint32_t len, uint32_t room);

/* ---- announcements ------------------------------------------------------------------ */

/* What a host tells its link unasked, in the order in which it is to be sent. */
enum hb_announcement {
	HB_ANNOUNCE_ARP, /* gratuitous ARP (RFC 5227): twice, some time apart */
	/* An MLDv2 report (RFC 3810): we listen to our address's solicited-node group, so that a
	 * switch with MLD snooping lets neighbour solicitations through. Such a switch forgets
	 * after 260 seconds, and queries are not answered: send it every 2 minutes or sooner. */
	HB_ANNOUNCE_GROUP,
	HB_ANNOUNCE_NEIGHBOUR, /* unsolicited neighbour advertisement (RFC 4861): up to 3 times */
	HB_ANNOUNCEMENTS       /* one more than the last */
};

#define HB_ANNOUNCE_BYTES_MAX 90

/* Builds an announcement, untagged. Returns its length, or 0 where we have no address of its kind
 * or `room` is less than HB_ANNOUNCE_BYTES_MAX. */
uint32_t hb_host_announce(const struct hb_listen *l, const uint8_t mac[6],
	enum hb_announcement which, uint8_t *frame, uint32_t room);

/* The group MAC address that neighbour solicitations for our IPv6 address go to: a NIC must let it
 * in. */
void hb_host_group_mac(const struct hb_listen *l, uint8_t mac[6]);

#endif
