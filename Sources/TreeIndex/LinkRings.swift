/// Which nodes are names of the same inode, while names come and go.
///
/// The names of an inode form a ring, so that one can leave without a search. A ring has a number and the ring a head:
/// the name whose node carries the inode. When the head leaves, only the head of the ring changes; the other names still
/// say the ring's number. An inode with a single name has no ring.
struct LinkRings: Sendable {
    static let none = UInt32.max

    private struct Seat {
        var next: Ordinal
        var previous: Ordinal
        var ring = LinkRings.none
    }

    // A seat per node, a head per ring.
    private var seats: [Seat] = []
    private var heads: [Ordinal] = []
    private var free: [UInt32] = []

    /// To be called for every new node, in order.
    mutating func addNode() {
        let ordinal = Ordinal(seats.count)
        seats.append(Seat(next: ordinal, previous: ordinal))
    }

    /// The node that carries the inode: the node itself unless it has joined another.
    func canonical(_ ordinal: Ordinal) -> Ordinal {
        let ring = seats[Int(ordinal)].ring
        return ring == Self.none ? ordinal : heads[Int(ring)]
    }

    /// Makes `ordinal`, which has no ring, one more name of the inode that `canonical` carries.
    mutating func join(_ ordinal: Ordinal, to canonical: Ordinal) {
        var ring = seats[Int(canonical)].ring
        if ring == Self.none {
            ring = free.popLast() ?? UInt32(heads.count)
            if ring == heads.count { heads.append(canonical) } else { heads[Int(ring)] = canonical }
            seats[Int(canonical)].ring = ring
        }
        let after = seats[Int(canonical)].next
        seats[Int(ordinal)] = Seat(next: after, previous: canonical, ring: ring)
        seats[Int(after)].previous = ordinal
        seats[Int(canonical)].next = ordinal
    }

    /// Takes `ordinal` out of its ring and gives the node that carries the inode from now on, or nil where this was its
    /// only name.
    mutating func leave(_ ordinal: Ordinal) -> Ordinal? {
        let seat = seats[Int(ordinal)]
        guard seat.ring != Self.none else { return nil }
        seats[Int(seat.previous)].next = seat.next
        seats[Int(seat.next)].previous = seat.previous
        seats[Int(ordinal)] = Seat(next: ordinal, previous: ordinal)
        if heads[Int(seat.ring)] == ordinal { heads[Int(seat.ring)] = seat.next }
        let head = heads[Int(seat.ring)]
        if seats[Int(head)].next == head {
            seats[Int(head)].ring = Self.none
            free.append(seat.ring)
        }
        return head
    }
}
