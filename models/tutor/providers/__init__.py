"""Which provider fits a request: decayed evidence of outcomes, and a choice by sampling."""
