extension Fault {
    /// An HTTP status that is neither success nor one with a meaning of its own for the caller.
    init(status: Int, of who: String, retryAfter: Duration?) {
        switch status {
        case 429, 503:
            let wait = retryAfter.map { "; it asks to wait \($0)" } ?? ""
            self.init(.rateLimited, "\(who) is overloaded or limits requests (status \(status))\(wait)", remedy: retryAfter.map { .pause($0) } ?? .backOff)
        case 408, 500, 502, 504:
            self.init(.badAnswer(status: status), "\(who) failed (status \(status))", remedy: .backOff)
        default:
            self.init(.badAnswer(status: status), "\(who) gave an answer that does not belong here (status \(status))")
        }
    }
}
