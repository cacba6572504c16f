import Synchronization

/// The links to all hosts, by name.
final class LinkTable: Sendable {
    private let links = Mutex<[String: Link]>([:])
    /// A tree of look-ups for hosts that do not exist must not fill the memory.
    private static let limit = 256

    subscript(_ host: String) -> Link {
        links.withLock { links in
            if let known = links[host] { return known }
            if links.count >= Self.limit { links = [:] }
            let link = Link()
            links[host] = link
            return link
        }
    }
}
