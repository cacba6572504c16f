/// How to find the wanted part of a blob in what a registry answered.
struct BlobAnswer: Equatable, Sendable {
    /// Bytes of the body before the first wanted one.
    let skip: UInt64
    /// The body ends with the last wanted byte, so whatever follows is a lie.
    let endsWithPart: Bool
    /// A part was asked for, and the whole came.
    let ignoresRange: Bool

    /// - Parameters:
    ///   - wanted: not empty, and within `size`.
    ///   - asked: whether the request had a `Range` header with `wanted`.
    ///   - size: bytes of the whole blob, by its descriptor.
    ///   - length: of the body, where the answer says it.
    /// - Throws: what is wrong with the answer, and what may help.
    static func read(
        status: Int, contentRanges: [String], length: UInt64?, retryAfter: Duration?, wanted: Range<UInt64>, asked: Bool, size: UInt64, from host: String
    ) throws(Fault) -> BlobAnswer {
        let count = wanted.upperBound - wanted.lowerBound
        switch status {
        case 206 where asked:
            guard contentRanges.count == 1, let part = ContentRange(contentRanges[0]) else {
                throw Fault(.badAnswer(status: 206), "\(host) sends a part and does not say which")
            }
            guard part.range == wanted else {
                throw Fault(.wrongBytes, "\(host) sends bytes \(part.range.lowerBound)-\(part.range.upperBound - 1) where \(wanted.lowerBound)-\(wanted.upperBound - 1) were asked for")
            }
            guard part.total == nil || part.total == size else { throw wrongSize(part.total, size, host) }
            guard length == nil || length == count else {
                throw Fault(.wrongBytes, "\(host) announces \(length ?? 0) bytes for a part of \(count)")
            }
            return BlobAnswer(skip: 0, endsWithPart: true, ignoresRange: false)
        case 200:
            guard length == nil || length == size else { throw wrongSize(length, size, host) }
            return BlobAnswer(skip: wanted.lowerBound, endsWithPart: wanted.upperBound == size, ignoresRange: asked)
        case 400 where asked:
            throw Fault(.badAnswer(status: 400), "\(host) refuses to send a part (status 400)", remedy: .dropRange)
        case 404, 410:
            throw Fault(.notFound, "\(host) does not have it")
        case 416:
            throw Fault(.badAnswer(status: 416), "\(host) has no bytes \(wanted.lowerBound)-\(wanted.upperBound - 1) of it (status 416), though by its descriptor it has \(size)")
        default:
            throw Fault(status: status, of: host, retryAfter: retryAfter)
        }
    }

    private static func wrongSize(_ found: UInt64?, _ size: UInt64, _ host: String) -> Fault {
        Fault(.wrongBytes, "\(host) has it with \(found ?? 0) bytes, by its descriptor it has \(size)")
    }
}
