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

    /// Whether a time lies in the years 0 to 9999, in UTC.
    static func canHold(_ time: Timestamp) -> Bool {
        time.seconds >= days(0, 1, 1) * 86_400 && time.seconds < days(10_000, 1, 1) * 86_400
    }

    /// The time in UTC, with as many digits behind the point as it takes; nil outside of the years 0 to 9999.
    static func format(_ time: Timestamp) -> [UInt8]? {
        let (day, second) = time.seconds.quotientAndRemainder(dividingBy: 86_400)
        let days = second < 0 ? day - 1 : day
        let seconds = second < 0 ? second + 86_400 : second
        guard canHold(time) else { return nil }
        // The inverse of `days`, era by era of 400 years.
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        var text: [UInt8] = []
        func append(_ number: Int64, _ digits: Int, _ end: Unicode.Scalar) {
            var rest = number
            let start = text.count
            for _ in 0..<digits {
                text.insert(UInt8(ascii: "0") + UInt8(rest % 10), at: start)
                rest /= 10
            }
            text.append(UInt8(ascii: end))
        }
        append(year, 4, "-")
        append(month, 2, "-")
        append(dayOfYear - (153 * shiftedMonth + 2) / 5 + 1, 2, "T")
        append(seconds / 3600, 2, ":")
        append(seconds / 60 % 60, 2, ":")
        append(seconds % 60, 2, time.nanoseconds == 0 ? "Z" : ".")
        guard time.nanoseconds != 0 else { return text }
        append(Int64(time.nanoseconds), 9, "Z")
        text.removeLast()
        while text.last == UInt8(ascii: "0") { text.removeLast() }
        return text + [UInt8(ascii: "Z")]
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
