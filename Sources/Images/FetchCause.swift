/// Why bytes are fetched. Demand has somebody waiting in a system call; the others are bets on what will be read.
public enum FetchCause: Int, Sendable, CaseIterable {
    /// A reader waits for it.
    case demand
    /// A whole blob on its way through an unpacker, because the layer can be had no other way.
    case stream
    /// A reader that goes through the layer in order will want it next.
    case ahead
    /// An access profile says that it will be read.
    case profile
    /// The rest of a layer, because its readers have waited for longer than that takes.
    case rest
    /// The user asked for the whole image.
    case pull
    /// Nobody reads, so that the link is free.
    case fill

    /// As metrics and `status.json` call it.
    public var name: String { String(describing: self) }

    /// Who comes first where not all can.
    func isMoreUrgent(_ other: FetchCause) -> Bool { rawValue < other.rawValue }

    /// Whether others on the host go first: nobody has asked for it yet.
    var canWait: Bool { self == .profile || self == .fill }

    /// Ranges under way at once for one piece of work. Background work takes one: a reader who comes finds the link free.
    var width: Int { self == .fill ? 1 : 4 }

    /// Bytes of memory for one range request, compressed and unpacked: so many that `width` of them fit into memory's share,
    /// and demand's into what is kept for it.
    var requestLimit: UInt64 { 12 << 20 }
}
