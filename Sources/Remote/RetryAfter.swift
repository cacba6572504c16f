import Glibc

/// The `Retry-After` header (RFC 9110 10.2.3): a number of seconds, or a date.
enum RetryAfter {
    /// How long to wait; nil where the header says nothing readable. A date that has passed is no wait.
    ///
    /// - Parameter now: seconds since 1970.
    static func duration(_ text: String, now: Int64 = Int64(time(nil))) -> Duration? {
        let text = text.drop { $0 == " " }
        if !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) {
            // A number too large for Int is as good as "never".
            return .seconds(min(Int64(text) ?? .max, 1 << 32))
        }
        return date(text).map { .seconds(max(0, $0 - now)) }
    }

    /// Seconds since 1970 of an IMF-fixdate, `Sun, 06 Nov 1994 08:49:37 GMT`: the one form that may still be sent.
    static func date(_ text: some StringProtocol) -> Int64? {
        let words = text.split(separator: " ")
        guard words.count == 6, words[0].hasSuffix(","), words[5] == "GMT", words[3].utf8.count == 4 else { return nil }
        let clock = words[4].split(separator: ":", omittingEmptySubsequences: false)
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        guard clock.count == 3, let day = number(words[1]), let month = months.firstIndex(of: String(words[2])), let year = number(words[3]),
            let hour = number(clock[0]), let minute = number(clock[1]), let second = number(clock[2]),
            (1...31).contains(day), year >= 1970, hour < 24, minute < 60, second <= 60
        else { return nil }
        // Days from civil date, with years that begin in March so that the leap day is last.
        let shifted = year - (month < 2 ? 1 : 0)
        let dayOfYear = (153 * Int64((month + 10) % 12) + 2) / 5 + day - 1
        let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
        return ((days * 24 + hour) * 60 + minute) * 60 + second
    }

    private static func number(_ text: some StringProtocol) -> Int64? {
        text.utf8.count <= 4 && text.utf8.allSatisfy { (48...57).contains($0) } ? Int64(text) : nil
    }
}
