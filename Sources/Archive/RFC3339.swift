/// `2006-01-02T15:04:05.999999999+07:00`, as Go writes times into JSON.
enum RFC3339 {
    static func parse(_ text: [UInt8]) -> Timestamp? {
        var rest = text[...]
        guard let year = number(&rest, 4), take(&rest, "-"), let month = number(&rest, 2), take(&rest, "-"), let day = number(&rest, 2),
              take(&rest, "T"), let hour = number(&rest, 2), take(&rest, ":"), let minute = number(&rest, 2), take(&rest, ":"),
              let second = number(&rest, 2), (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }
        var nanoseconds: UInt32 = 0
        if take(&rest, ".") {
            guard let first = rest.first, isDigit(first) else { return nil }
            var unit: UInt32 = 100_000_000
            while let digit = rest.first, isDigit(digit) {
                nanoseconds += unit * UInt32(digit & 15)
                unit /= 10
                rest.removeFirst()
            }
        }
        guard let zone = zone(&rest), rest.isEmpty else { return nil }
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - zone
        return Timestamp(seconds: seconds, nanoseconds: nanoseconds)
    }

    /// Seconds east of Greenwich.
    private static func zone(_ rest: inout ArraySlice<UInt8>) -> Int64? {
        if take(&rest, "Z") { return 0 }
        let sign: Int64
        if take(&rest, "+") { sign = 1 } else if take(&rest, "-") { sign = -1 } else { return nil }
        guard let hours = number(&rest, 2), take(&rest, ":"), let minutes = number(&rest, 2), hours < 24, minutes < 60 else { return nil }
        return sign * (hours * 3600 + minutes * 60)
    }

    /// Days from 1970-01-01 in the proleptic Gregorian calendar; years are counted from March so that the leap day is the last.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let year = month > 2 ? year : year - 1
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func number(_ rest: inout ArraySlice<UInt8>, _ count: Int) -> Int64? {
        let digits = rest.prefix(count)
        guard digits.count == count, digits.allSatisfy(isDigit) else { return nil }
        rest = rest.dropFirst(count)
        return digits.reduce(0) { $0 * 10 + Int64($1 & 15) }
    }

    private static func take(_ rest: inout ArraySlice<UInt8>, _ character: Unicode.Scalar) -> Bool {
        guard rest.first == UInt8(truncatingIfNeeded: character.value) else { return false }
        rest = rest.dropFirst()
        return true
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}
