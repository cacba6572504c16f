import Glibc

/// A point in time to the millisecond, written as RFC 3339 in UTC: `2026-11-21T12:03:04.000Z`.
public struct Moment: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Since 1970, UTC.
    public let milliseconds: Int64

    public init(milliseconds: Int64) { self.milliseconds = milliseconds }

    public init(_ time: timespec) { milliseconds = Int64(time.tv_sec) &* 1000 &+ Int64(time.tv_nsec) / 1_000_000 }

    public static var now: Moment {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Moment(time)
    }

    /// How long ago it was at `other`; negative where it was later.
    public func duration(until other: Moment) -> Duration { .milliseconds(other.milliseconds &- milliseconds) }

    public static func < (left: Moment, right: Moment) -> Bool { left.milliseconds < right.milliseconds }

    public var description: String {
        let parts = broken(gmtime_r)
        return parts.date + "T" + parts.time + "." + Self.digits(milliseconds - seconds * 1000, 3) + "Z"
    }

    /// `12:03:04` in the zone of this process, with the date before it where that is not today's.
    public var localText: String {
        let parts = broken(localtime_r)
        return parts.date == Moment.now.broken(localtime_r).date ? parts.time : parts.date + " " + parts.time
    }

    public init?(_ text: String) {
        let text = Array(text.utf8)
        guard text.count == 24, text[23] == UInt8(ascii: "Z") else { return nil }
        var numbers: [Int64] = []
        var position = 0
        for (width, end) in [(4, "-"), (2, "-"), (2, "T"), (2, ":"), (2, ":"), (2, "."), (3, "Z")] {
            var number: Int64 = 0
            for byte in text[position..<position + width] {
                guard (0x30...0x39).contains(byte) else { return nil }
                number = number * 10 + Int64(byte - 0x30)
            }
            guard text[position + width] == end.utf8.first else { return nil }
            numbers.append(number)
            position += width + 1
        }
        var parts = tm()
        parts.tm_year = Int32(numbers[0]) - 1900
        parts.tm_mon = Int32(numbers[1]) - 1
        parts.tm_mday = Int32(numbers[2])
        parts.tm_hour = Int32(numbers[3])
        parts.tm_min = Int32(numbers[4])
        parts.tm_sec = Int32(numbers[5])
        milliseconds = Int64(timegm(&parts)) * 1000 + numbers[6]
        // timegm takes the 31st of February for the 3rd of March.
        guard description.utf8.elementsEqual(text) else { return nil }
    }
}

extension Moment: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let moment = Moment(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "no time like 2026-11-21T12:03:04.000Z")
        }
        self = moment
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension Moment {
    /// Whole seconds, rounded down also before 1970.
    private var seconds: Int64 { (milliseconds - (milliseconds % 1000 + 1000) % 1000) / 1000 }

    private func broken(
        _ convert: (UnsafePointer<time_t>, UnsafeMutablePointer<tm>) -> UnsafeMutablePointer<tm>?
    ) -> (date: String, time: String) {
        var clock = time_t(seconds)
        var parts = tm()
        _ = convert(&clock, &parts)
        let year = Self.digits(Int64(parts.tm_year) + 1900, 4)
        return (
            "\(year)-\(Self.digits(Int64(parts.tm_mon) + 1, 2))-\(Self.digits(Int64(parts.tm_mday), 2))",
            "\(Self.digits(Int64(parts.tm_hour), 2)):\(Self.digits(Int64(parts.tm_min), 2)):\(Self.digits(Int64(parts.tm_sec), 2))"
        )
    }

    private static func digits(_ number: Int64, _ width: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
    }
}
