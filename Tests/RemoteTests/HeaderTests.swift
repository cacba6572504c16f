@testable import Remote
import Testing

struct HeaderTests {
    @Test(arguments: [
        ("bytes 0-0/1", 0..<1, 1), ("bytes 5-9/10", 5..<10, 10), ("Bytes  5-9/*", 5..<10, nil),
        ("bytes 0-18446744073709551613/18446744073709551614", 0..<18_446_744_073_709_551_614, 18_446_744_073_709_551_614),
    ] as [(String, Range<UInt64>, UInt64?)])
    func contentRangesAreRead(_ text: String, _ range: Range<UInt64>, _ total: UInt64?) {
        let found = ContentRange(text)
        #expect(found?.range == range && found?.total == total)
    }

    @Test(arguments: [
        "", "bytes", "bytes */10", "bytes 5-4/10", "bytes 0-10/10", "bytes -1-5/10", "bytes 0-5", "bytes 0-5/", "items 0-5/10", "bytes 0-5/10/11",
        "bytes 0-18446744073709551615/*", "bytes 0-18446744073709551616/*", "bytes +0-5/10", "bytes 0-5/+10", "bytes 0 - 5/10",
    ])
    func badContentRangesAreRefused(_ text: String) { #expect(ContentRange(text) == nil) }

    @Test func retryAfterIsSecondsOrADate() {
        #expect(RetryAfter.duration("120") == .seconds(120))
        #expect(RetryAfter.duration(" 0") == .zero)
        #expect(RetryAfter.date("Sun, 06 Nov 1994 08:49:37 GMT") == 784_111_777)
        #expect(RetryAfter.date("Thu, 01 Jan 1970 00:00:00 GMT") == 0)
        #expect(RetryAfter.date("Tue, 29 Feb 2028 23:59:59 GMT") == 1_835_481_599)
        #expect(RetryAfter.date("Fri, 31 Dec 9999 23:59:59 GMT") == 253_402_300_799)
        #expect(RetryAfter.duration("Sun, 06 Nov 1994 08:49:37 GMT", now: 784_111_770) == .seconds(7))
        #expect(RetryAfter.duration("Sun, 06 Nov 1994 08:49:37 GMT", now: 784_111_999) == .zero)
    }

    @Test(arguments: ["", "-1", "1.5", "soon", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 Nov +994 08:49:37 GMT"])
    func otherRetryAfterMeansNothing(_ text: String) { #expect(RetryAfter.duration(text) == nil) }

    @Test func hugeRetryAfterDoesNotOverflow() {
        #expect(RetryAfter.duration(String(repeating: "9", count: 400)) == .seconds(1 << 32))
    }
}

struct BlobAnswerTests {
    private func read(_ status: Int, range: String? = nil, length: UInt64? = nil, wanted: Range<UInt64> = 10..<20, asked: Bool = true) -> Result<BlobAnswer, Fault> {
        Result { () throws(Fault) in
            try BlobAnswer.read(status: status, contentRanges: range.map { [$0] } ?? [], length: length, retryAfter: nil, wanted: wanted, asked: asked, size: 100, from: "h")
        }
    }

    @Test func thePartThatWasAskedForIsTaken() throws {
        let part = BlobAnswer(skip: 0, endsWithPart: true, ignoresRange: false)
        #expect(try read(206, range: "bytes 10-19/100").get() == part)
        #expect(try read(206, range: "bytes 10-19/*", length: 10).get() == part)
    }

    @Test func theWholeInPlaceOfAPartIsCut() throws {
        #expect(try read(200, length: 100).get() == BlobAnswer(skip: 10, endsWithPart: false, ignoresRange: true))
        #expect(try read(200, wanted: 90..<100).get() == BlobAnswer(skip: 90, endsWithPart: true, ignoresRange: true))
        #expect(try read(200, wanted: 0..<100, asked: false).get() == BlobAnswer(skip: 0, endsWithPart: true, ignoresRange: false))
    }

    @Test(arguments: [
        (206, "bytes 10-18/100"), (206, "bytes 11-19/100"), (206, "bytes 10-20/100"), (206, "bytes 10-19/101"), (206, "bytes 0-99/100"), (206, nil), (206, "bytes"),
        (400, nil), (404, nil), (416, nil), (500, nil), (204, nil), (304, nil), (226, nil), (999, nil),
    ] as [(Int, String?)])
    func anythingElseIsRefused(_ status: Int, _ range: String?) {
        #expect(throws: Fault.self) { try read(status, range: range).get() }
    }

    @Test func aLengthThatDoesNotFitIsRefused() {
        for (status, range, length) in [(206, "bytes 10-19/100", 11), (200, nil, 99), (200, nil, 0)] as [(Int, String?, UInt64)] {
            #expect(throws: Fault.self) { try read(status, range: range, length: length).get() }
        }
        #expect(throws: Fault.self) { try read(206, range: "bytes 0-99/100", wanted: 0..<100, asked: false).get() }
    }
}
